#!/usr/bin/env bash
# Stands in for func-e, and does what its documentation says of version 1.5: flags before the subcommand are its own, what
# follows `run` is Envoy's; it adds the file of the admin address, copies Envoy's output and a dump of its configuration
# into the folder of the run, hands SIGTERM and SIGINT on, and ends with 0 after these, with 1 where Envoy fails.
# What it was called with goes into the file `calls` beside it.
set -u
here=$(dirname "$0")
run_id=${FUNC_E_RUN_ID:-$(date +%Y%m%d_%H%M%S)_$$}
envoy=${ENVOY_PATH:-$here/chosen}
flags=""
while [ $# -gt 0 ]; do
  case $1 in
    --run-id) run_id=$2; flags="$flags $1"; shift 2 ;;
    --envoy-path) envoy=$2; flags="$flags $1"; shift 2 ;;
    -*) echo "error: unknown flag $1" >&2; exit 1 ;;
    *) break ;;
  esac
done
command=$1
shift
echo "$command id=$run_id flags=$flags home=${FUNC_E_HOME:-} envoy=$envoy runtime=${FUNC_E_RUNTIME_DIR:-} args=$*" >> "$here/calls"
if [ "$command" = which ]; then
  echo "$envoy"
  exit 0
fi
[ "$command" = run ] || { echo "error: unknown command $command" >&2; exit 1; }

state=${FUNC_E_STATE_HOME:-$HOME/.local/state/func-e}/envoy-runs/$run_id
runtime=${FUNC_E_RUNTIME_DIR:-/tmp/func-e-$(id -u)}/$run_id
mkdir -p "$state" "$runtime"
mkfifo "$runtime/out" "$runtime/err"
echo "starting: $envoy $*"
# A process group of its own for each child: what a terminal sends reaches func-e alone.
set -m
tee "$state/stdout.log" < "$runtime/out" &
copies=$!
tee "$state/stderr.log" < "$runtime/err" >&2 &
copies="$copies $!"
"$envoy" "$@" --admin-address-path "$runtime/admin-address.txt" -- --run-id "$run_id" > "$runtime/out" 2> "$runtime/err" &
child=$!
signal=""
trap 'signal=TERM' TERM
trap 'signal=INT' INT
dump() {
  until [ -s "$runtime/admin-address.txt" ]; do sleep 0.02; done
  admin=$(cat "$runtime/admin-address.txt")
  echo "discovered admin address: $admin"
  exec 3<> "/dev/tcp/${admin%:*}/${admin##*:}"
  printf 'GET /config_dump HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n\r\n' >&3
  cat <&3 > "$state/config_dump.partial"
  mv "$state/config_dump.partial" "$state/config_dump.json"
}
dump &
dumping=$!
# A signal ends `wait`, and Envoy takes its time to end.
while :; do
  wait "$child"
  status=$?
  kill -0 "$child" 2> /dev/null || break
  [ -z "$signal" ] || kill -s "$signal" "$child"
done
kill "$dumping" 2> /dev/null
wait $copies
echo "ended id=$run_id signal=$signal" >> "$here/calls"
[ -n "$signal" ] && exit 0
[ "$status" = 0 ] || { echo "error: envoy exited with status: $status" >&2; exit 1; }
