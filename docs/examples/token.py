# Prints a login token. Usage: ROOKERY_KEY=… python3 token.py APP USER
import base64, hashlib, hmac, json, os, sys, time, zlib


def token(key: str, app: int, user: str, expire: int = 86400) -> str:
    now = int(time.time())
    text = f"TLS.identifier:{user}\nTLS.sdkappid:{app}\nTLS.time:{now}\nTLS.expire:{expire}\n"
    sig = base64.b64encode(hmac.digest(key.encode(), text.encode(), hashlib.sha256)).decode()
    parts = {"TLS.ver": "2.0", "TLS.identifier": user, "TLS.sdkappid": app, "TLS.expire": expire,
             "TLS.time": now, "TLS.sig": sig}
    packed = base64.b64encode(zlib.compress(json.dumps(parts).encode())).decode()
    return packed.translate(str.maketrans("+/=", "*-_"))


print(token(os.environ["ROOKERY_KEY"], int(sys.argv[1]), sys.argv[2]))
