"""What to change where something between the app and the client collects events.

Sources: the documentation of each product; for Apache and uWSGI also the source.
"""

from flask_sluice.doctor.remedies.remedy import Remedy

TELL_NGINX = Remedy(
    "nginx, told by the app in the headers of its response", "X-Accel-Buffering: no"
)
"""nginx obeys it unless `proxy_ignore_headers` names it; it does not pass it on to the next nginx."""

_SLUICE = Remedy(
    "Flask, in the view: sets the headers and sends each event on its own",
    "from flask_sluice import sse_response\n\nreturn sse_response(events())",
)
_NGINX = Remedy("nginx, in the location of the stream", "proxy_buffering off;")
_NGINX_UWSGI = Remedy("nginx, in a location with uwsgi_pass", "uwsgi_buffering off;")
_NGINX_FASTCGI = Remedy("nginx, in a location with fastcgi_pass", "fastcgi_buffering off;")
_INGRESS = Remedy(
    "nginx (ingress-nginx), in the annotations of the Ingress",
    'nginx.ingress.kubernetes.io/proxy-buffering: "off"',
)
INNER_NGINX = Remedy(
    "nginx, in the inner one of two: by default it keeps the header from the outer one",
    "proxy_pass_header X-Accel-Buffering;",
)
_NGINX_CACHE = Remedy("nginx, in the location of the stream", "proxy_cache off;")
_APACHE_FCGI = Remedy(
    "Apache, in a ProxyPass to fcgi:// or ajp:// (to http:// it sends each piece at once)",
    'ProxyPass "/events" "fcgi://127.0.0.1:9000/" flushpackets=on',
)
_HAPROXY = Remedy(
    "HAProxy, in defaults: without it small events may wait 200 ms for more",
    "option http-no-delay",
)
_CADDY = Remedy(
    "Caddy, in reverse_proxy: delete this line", "response_buffers <size>  # delete this line"
)
_TRAEFIK = Remedy(
    "Traefik, on the router of the stream: leave out the middleware `buffering`",
    "traefik.http.routers.events.middlewares=  # without the buffering middleware",
)
_TRAEFIK_FLUSH = Remedy(
    "Traefik, for a stream whose Content-Type is not text/event-stream",
    "traefik.http.services.my-service.loadbalancer.responseforwarding.flushinterval=-1ms",
)
_API_GATEWAY = Remedy(
    "AWS API Gateway, in the integration of a REST API (its default is BUFFERED)",
    "responseTransferMode: STREAM",
)
_CLOUDFLARE = Remedy(
    "Cloudflare, whose tunnel sends only some content types at once; in the app",
    "Content-Type: text/event-stream",
)
_GUNICORN = Remedy(
    "gunicorn, whose tornado worker holds a response until its end; on the command line",
    "gunicorn --worker-class gthread --threads 100 app:app",
)
_WAITRESS = Remedy(
    "waitress, older than 1.3: it collected 18,000 bytes", "pip install 'waitress>=3.0.1'"
)
_FLASK_BODY = Remedy(
    "Flask, in the view: hand the generator over, not the text that it makes",
    'return Response(events(), mimetype="text/event-stream")',
)
_FLASK_HOOK = Remedy(
    "Flask, in an after_request function that reads bodies (`response.data`, `get_data()`)",
    "if response.is_streamed:\n    return response",
)
_EXPRESS = Remedy(
    "Express, with the middleware `compression`: after each event", "res.write(event)\nres.flush()"
)
_GO = Remedy("Go, in the handler: after each event", "http.NewResponseController(w).Flush()")

BUFFERED_IN_LUMPS = (
    *(_NGINX, TELL_NGINX, INNER_NGINX, _NGINX_UWSGI, _NGINX_FASTCGI, _INGRESS),
    *(_APACHE_FCGI, _CADDY, _TRAEFIK, _TRAEFIK_FLUSH, _CLOUDFLARE, _WAITRESS, _EXPRESS, _GO),
    _SLUICE,
)
"""Events come together, several KiB at a time."""

BUFFERED_WHOLE = (
    *(_NGINX, TELL_NGINX, INNER_NGINX, _NGINX_CACHE, _NGINX_UWSGI, _NGINX_FASTCGI, _INGRESS),
    *(_FLASK_BODY, _FLASK_HOOK, _GUNICORN, _API_GATEWAY, _CLOUDFLARE, _APACHE_FCGI, _CADDY),
    *(_TRAEFIK, _EXPRESS, _GO, _SLUICE),
)
"""Nothing comes before the end of the stream."""

DELAYED = (
    _HAPROXY,
    Remedy("nginx, in http", "tcp_nodelay on;"),
    _TRAEFIK_FLUSH,
)
"""Each event comes on its own, but late by 40 to 200 ms."""
