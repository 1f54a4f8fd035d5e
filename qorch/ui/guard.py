"""Who may ask: this machine's own browser, with the token that was printed; no page of another site through it."""

import hmac
import secrets

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

HEADERS = {
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
_NAMES = ("127.0.0.1", "localhost")


class Guard:
    """``token``: a secret for as long as the server lives: other users of the machine can reach its port, too."""

    def __init__(self) -> None:
        """A new token."""
        self.token = secrets.token_urlsafe(24)

    def middleware(self) -> Middleware:
        """Refuses a request with a foreign Host (a name that an attacker has pointed at this machine) or no token."""

        @web.middleware
        async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
            port = request.transport.get_extra_info("sockname")[1] if request.transport else 0
            if request.host not in {f"{name}:{port}" for name in _NAMES}:
                return _refuse("this server answers only to 127.0.0.1 and localhost")
            cookie = f"qorch-ui-{port}"
            if self._is_ours(request.query.get("token", "")):
                # So that the token stands in no address that is kept or shared.
                answer = web.Response(status=303, headers={**HEADERS, "Location": "/"})
                answer.set_cookie(cookie, self.token, httponly=True, samesite="Strict", path="/")
                return answer
            if not self._is_ours(request.cookies.get(cookie, "")):
                return _refuse("open the address that `qorch ui` printed: it has a token")
            return await handler(request)

        return check

    def _is_ours(self, text: str) -> bool:
        return hmac.compare_digest(text.encode("utf-8", "replace"), self.token.encode())


def _refuse(text: str) -> web.Response:
    return web.Response(status=403, text=text + "\n", headers=HEADERS)
