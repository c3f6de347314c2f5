"""Six Flask apps that stream, each in the shape of a public one, with the response that Flask has for it.

``tests.adopting.adopt`` makes the second variant of each, which answers with ``sse_response``.
"""
