"""A double of the Hugging Face Hub on loopback: its HTTP, faults on demand, and a fixture that leads to it.

It is written from the source of the clients (huggingface_hub 2.4, datasets 5.2) and not checked against the real Hub.
It answers what they ask of models, datasets and Spaces. A repository is named as in its web address: `me/x`,
`datasets/me/x`, `spaces/me/x`. What it does is specified by the tests beside it.
"""

from tests.servers.hub_double.accounts import FINE_TOKEN, OTHER_TOKEN, READ_TOKEN, WRITE_TOKEN, Account
from tests.servers.hub_double.clients import connect, drop_connections, hub, setting_modules
from tests.servers.hub_double.faults import Cut
from tests.servers.hub_double.repositories import Repository
from tests.servers.hub_double.server import Hub

__all__ = [
    "FINE_TOKEN",
    "OTHER_TOKEN",
    "READ_TOKEN",
    "WRITE_TOKEN",
    "Account",
    "Cut",
    "Hub",
    "Repository",
    "connect",
    "drop_connections",
    "hub",
    "setting_modules",
]
