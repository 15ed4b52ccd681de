"""The official Python validators, behind the adapter that a web application would write around them.

One JSON array of requests per line on standard input, one JSON array of answers per line on standard output. Bytes
travel as text whose characters are the bytes (Latin-1). The answer to a check is "accepts", "refuses", or
"raises <exception>", which an application turns into a refusal as well.

How `twilio.request_validator` is called (spec twilio-signature, section 3):

- URL: the public URL of the configuration followed by the raw target; `wss`/`ws` for an upgrade. Text, so UTF-8.
- `params`: for the media type of a form (whatever its parameters and whatever the method) the decoded pairs as a
  multi-dictionary, empty ones kept, invalid UTF-8 replaced; none for a GET or HEAD without body; for everything else
  the raw body as a string, which selects the check of `bodySHA256`.
- signature: the header as it is; repeated headers joined with ", " as frameworks do; absent is empty.
- tokens: one validator for each, any may accept. With the settings header: the secret of the key it names, and the
  algorithm it names.

How `sendgrid.helpers.eventwebhook` is called: the key as configured, body as UTF-8 text, headers as they are.
"""

import base64
import json
import logging
import sys
from urllib.parse import parse_qsl

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from sendgrid.helpers.eventwebhook import EventWebhook
from twilio.request_validator import RequestValidator, get_signature_algorithm

FORM = "application/x-www-form-urlencoded"

# Of the group of P-256 (FIPS 186-4, D.1.2.3).
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


class Pairs:
    """What frameworks call a MultiDict, with the one method that the validator looks for."""

    def __init__(self, pairs):
        self.pairs = pairs

    def __iter__(self):
        return iter(name for name, _ in self.pairs)

    def __len__(self):
        return len(self.pairs)

    def getlist(self, name):
        return [value for own, value in self.pairs if own == name]


def raw(text):
    return text.encode("latin-1")


def header(request, name):
    values = [value for own, value in request["headers"] if own == name]
    return ", ".join(values) if values else None


def twilio(request):
    base = request["public_url"]
    if header(request, "upgrade") is not None and base[:4].lower() == "http":
        base = "ws" + base[4:]
    url = base + raw(request["target"]).decode("utf-8")
    body = raw(request["body"])
    if (header(request, "content-type") or "").partition(";")[0].strip().lower() == FORM:
        text = body.decode("utf-8", "replace")
        params = Pairs(parse_qsl(text, keep_blank_values=True, errors="replace"))
    elif request["method"] in ("GET", "HEAD") and not body:
        params = {}
    else:
        params = body.decode("utf-8")
    signature = header(request, "x-twilio-signature") or ""
    settings = header(request, "x-twilio-webhooks-signature-settings")
    if settings is None:
        return any([RequestValidator(token).validate(url, params, signature) for token in request["tokens"]])
    named = [part.partition("=")[2].strip() for part in settings.split(",") if part.strip().startswith("key=")]
    secret = request["shared_keys"].get(named[0]) if named else None
    if secret is None:
        return False
    return RequestValidator(secret).validate(url, params, signature, get_signature_algorithm(settings))


def sendgrid(request):
    return EventWebhook(request["public_key"]).verify_signature(
        raw(request["body"]).decode("utf-8"),
        header(request, "x-twilio-email-event-webhook-signature") or "",
        header(request, "x-twilio-email-event-webhook-timestamp") or "",
    )


def ecdsa(request):
    """`cryptography` alone: a signature as DER, a key as DER."""
    key = serialization.load_der_public_key(raw(request["key"]))
    try:
        key.verify(raw(request["signature"]), raw(request["message"]), ec.ECDSA(hashes.SHA256()))
        return True
    except InvalidSignature:
        return False


def encoding(request):
    """`cryptography` alone: whether a signature is DER of two numbers in the range of P-256."""
    r, s = decode_dss_signature(raw(request["signature"]))
    return 0 < r < ORDER and 0 < s < ORDER


def sign(request):
    """Makes what the Rust side has no library for: a key on any curve, and a signature by it."""
    key = ec.derive_private_key(int(request["scalar"], 16), getattr(ec, request["curve"])())
    public = key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    signature = key.sign(raw(request["message"]), ec.ECDSA(hashes.SHA256(), deterministic_signing=True))
    return [base64.b64encode(item).decode("ascii") for item in (public, signature)]


def check(validator):
    def answer(request):
        try:
            return "accepts" if validator(request) else "refuses"
        except Exception as error:  # whatever a validator raises is its verdict
            return "raises " + type(error).__name__

    return answer


ANSWERS = {
    "twilio": check(twilio),
    "sendgrid": check(sendgrid),
    "ecdsa": check(ecdsa),
    "encoding": check(encoding),
    "sign": sign,
}


def main():
    logging.disable(logging.CRITICAL)
    for line in sys.stdin:
        print(json.dumps([ANSWERS[request["do"]](request) for request in json.loads(line)]), flush=True)


if __name__ == "__main__":
    main()
