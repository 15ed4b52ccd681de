// Runs a WASI program under Node, whose engine is Envoy's (V8): node wasi.mjs PROGRAM.wasm [ARGUMENT..]
// The directory that CRITERION_HOME names is the only one that the program gets to see.
import { mkdir, readFile } from 'node:fs/promises';
import { WASI } from 'node:wasi';

const [program, ...args] = process.argv.slice(2);
const home = process.env.CRITERION_HOME ?? 'criterion';
await mkdir(home, { recursive: true });
const wasi = new WASI({
  version: 'preview1',
  args: [program, ...args],
  env: { CRITERION_HOME: '/criterion' },
  preopens: { '/criterion': home },
});

const module = await WebAssembly.compile(await readFile(program));
const imports = wasi.getImportObject();
// The filter's library brings its calls to the proxy along. There is no proxy here, and none of them is made.
for (const { module: from, name } of WebAssembly.Module.imports(module)) {
  imports[from] ??= {};
  imports[from][name] ??= () => {
    throw new Error(`there is no ${from}.${name} here`);
  };
}
const { exports } = await WebAssembly.instantiate(module, imports);
// A program of its own has no `_initialize`; this one is the library's, for the proxy.
wasi.start({ exports: { memory: exports.memory, _start: exports._start } });
