import base64, hashlib, hmac, time
from urllib.parse import urlsplit


def mint(url: str, key_id: str, key: str, ttl_seconds: int) -> str:
    """Add an expiry to a callback URL, for the mint_keys of twilio-guard."""
    url, hash_sign, overrides = url.partition("#")
    separator = "&" if "?" in url else "?"
    url += f"{separator}tg_exp={int(time.time()) + ttl_seconds}&tg_key={key_id}"
    parts = urlsplit(url)
    covered = f"twilio-guard mint v1\n{parts.path}?{parts.query}"
    mac = hmac.new(key.encode(), covered.encode(), hashlib.sha256).digest()
    return f"{url}&tg_mac={base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}{hash_sign}{overrides}"
