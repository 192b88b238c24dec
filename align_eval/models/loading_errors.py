"""What is said when ``transformers`` cannot load or run a model, and silence while it loads one."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator

from align_eval.errors import AlignEvalError, ModelError


@contextlib.contextmanager
def loading_errors(name: str) -> Iterator[None]:
    """Turn whatever ``transformers`` raises for a folder that cannot be loaded into a :class:`ModelError`.

    Its libraries raise OSError, ValueError, ImportError, KeyError, bare Exceptions and more for broken files.
    """
    try:
        yield
    except (AlignEvalError, MemoryError):
        raise
    except BaseException as error:
        if not is_failure(error):
            raise
        if is_out_of_memory(error):
            raise no_room(f"the weights of {name}") from error
        text = " ".join(str(error).split()) or type(error).__name__
        unsupported = f"{name} is of an architecture that is not supported"
        what, remedy = (
            f"{name} cannot be loaded: {first_sentence(text)}",
            "Check its files, or copy or download them again",
        )
        if "trust_remote_code" in text:
            what, remedy = f"{name} comes with code of its own", "Pass --trust-remote-code if you trust its authors"
        elif isinstance(error, ImportError):
            remedy = "Install the package that it names"
        elif "does not recognize this architecture" in text:
            kind = re.search(r"model type [`'\"]([^`'\"]+)", text)
            what = unsupported + (f" ({kind[1]})" if kind else "")
            remedy = "Choose another model; or pass --trust-remote-code if it brings its own code and you trust it"
        elif "Unrecognized configuration class" in text or isinstance(error, AttributeError):
            kind = re.search(r"(\w+)Config\b", text)
            what = unsupported + (f" ({kind[1]})" if kind else "")
            remedy = "Choose a text model: an encoder, an encoder-decoder or a decoder-only model"
        elif "Unrecognized model" in text:
            what, remedy = f"config.json of {name} names no model_type", "Copy the file of the model again"
        elif "okenizer" in text:
            remedy = "Copy the tokenizer's files (tokenizer.json, or vocabulary and SentencePiece files) there, too"
        raise ModelError(what, remedy=remedy) from error


@contextlib.contextmanager
def forward_errors() -> Iterator[None]:
    """Turn what a model of contradicting files raises when it computes into a :class:`ModelError`.

    Examples: a padding token outside of the vocabulary, a number of heads that does not divide the width. A lack of
    memory stays what it is.
    """
    try:
        yield
    except (TypeError, IndexError, KeyError, ValueError, AttributeError, RuntimeError) as error:
        if isinstance(error, AlignEvalError) or is_out_of_memory(error):
            raise
        text = " ".join(str(error).split()) or type(error).__name__
        raise ModelError(
            f"the model cannot compute: {first_sentence(text)}",
            remedy="Check that its config.json, tokenizer and weights belong together, or copy or download them again",
        ) from error


def is_failure(error: BaseException) -> bool:
    """Whether an error is an ``Exception``, or the panic of a library written in Rust, which is none of Python's."""
    return isinstance(error, Exception) or type(error).__name__ == "PanicException"


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a device, or the machine, had no memory left."""
    import torch

    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    told = ("out of memory", "DefaultCPUAllocator: can't allocate", "DefaultCPUAllocator: not enough", "ALLOC_FAILED")
    return isinstance(error, RuntimeError) and any(text in str(error) for text in told)


def no_room(what: str) -> ModelError:
    """The error for what does not fit the device's memory however small the batch is."""
    return ModelError(
        f"{what} does not fit the memory of the device",
        remedy="Pass --dtype bfloat16, a smaller --batch-tokens or --device cpu (dtype, token_budget and device in "
        "Python), or split long sentences",
    )


def first_sentence(text: str) -> str:
    """The first sentence of a text, cut where advice to load the model otherwise begins, which no option follows."""
    text = re.split(r"\. (?=[A-Z])|(?i:\W*(?:please|you can|try to|make sure|consider)\b)", text, maxsplit=1)[0]
    return text[:300].rstrip(".:, ")


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """No progress bars and notes of ``transformers`` while a model loads; missing weights are checked by us."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        with client_errors_only():
            yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


@contextlib.contextmanager
def client_errors_only() -> Iterator[None]:
    """No notes of ``huggingface_hub`` on each of its retries; its progress bars stay."""
    import logging

    client = logging.getLogger("huggingface_hub")
    level = client.level
    client.setLevel(logging.ERROR)
    try:
        yield
    finally:
        client.setLevel(level)
