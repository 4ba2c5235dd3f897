"""The policy file: read, checked as a whole, and frozen.

A file becomes a tree of plain values with line numbers (`tree`), its references are put in (`references`), its shape is
judged by the models (`model`), what no part can judge alone by the checks (`names`, `exposure`). `compile` turns the
result into the policies' vocabulary.
"""

from gateway.config.llama_cpp import LlamaCppProvider
from gateway.config.loader import examine, examine_text, load
from gateway.config.model import Config
from gateway.config.model_file import model_file
from gateway.config.owners import KeySettings
from gateway.config.problems import ConfigProblems, Problem, Severity
from gateway.config.providers import LitellmProvider, OpenAIProvider, ProviderSettings
from gateway.config.quantities import Address
from gateway.config.routing import DeploymentSettings, RouteSettings

__all__ = [
    "Address",
    "Config",
    "ConfigProblems",
    "DeploymentSettings",
    "KeySettings",
    "LitellmProvider",
    "LlamaCppProvider",
    "OpenAIProvider",
    "Problem",
    "ProviderSettings",
    "RouteSettings",
    "Severity",
    "examine",
    "examine_text",
    "load",
    "model_file",
]
