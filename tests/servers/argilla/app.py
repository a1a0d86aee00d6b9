"""The server's application with the tests' search engine; what uvicorn loads."""

from argilla_server import app as app

from tests.servers.argilla import engine as engine
