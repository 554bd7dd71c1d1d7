"""Optional packages: the extra of the distribution that installs each, and the error where one is missing.

`pip install own-asr` brings what transcription with exported models needs. This module imports nothing heavy, so that
it can explain a failed import before anything else is loaded.
"""

from asr.errors import AsrError

DISTRIBUTION = "own-asr"  # the name in pyproject.toml

# import name -> (name for users, extra); a test compares this table with pyproject.toml
OPTIONAL = {
    "accelerate": ("Accelerate", "train"),
    "aiohttp": ("aiohttp", "cloud"),
    "av": ("PyAV", "data"),
    "espeakng_loader": ("eSpeak NG", "train"),
    "fastapi": ("FastAPI", "serve"),
    "fsspec": ("fsspec", "cloud"),
    "huggingface_hub": ("the client of the Hugging Face hub", "hub"),
    "jinja2": ("Jinja", "data"),
    "jiwer": ("JiWER", "data"),
    "joblib": ("joblib", "data"),
    "librosa": ("librosa", "train"),
    "llvmlite": ("llvmlite", "data"),
    "matplotlib": ("Matplotlib", "train"),
    "numba": ("Numba", "data"),
    "onnx": ("ONNX", "train"),
    "prometheus_client": ("the Prometheus client", "serve"),
    "pyarrow": ("Arrow", "train"),
    "python_multipart": ("python-multipart", "serve"),
    "rapidfuzz": ("RapidFuzz", "data"),
    "ray": ("Ray", "ray"),
    "s3fs": ("s3fs", "cloud"),
    "sacrebleu": ("sacreBLEU", "translation"),
    "scipy": ("SciPy", "data"),
    "sounddevice": ("sounddevice", "microphone"),
    "torch": ("PyTorch", "train"),
    "torchaudio": ("torchaudio", "train"),
    "uvicorn": ("Uvicorn", "serve"),
    "websockets": ("websockets", "serve"),
    "wyoming": ("Wyoming", "serve"),
}


def install_command(extra: str) -> str:
    """Return the command that installs an extra."""
    return f"pip install '{DISTRIBUTION}[{extra}]'"


def missing_package(error: ImportError, subject: str = "this") -> AsrError | None:
    """Return the error that names the extra to install, or None if `error` concerns no optional package.

    `subject` begins the message: "training needs PyTorch, …".
    """
    if not isinstance(error, ModuleNotFoundError) or error.name is None:
        return None  # the package is there, and broken: that error has its own message
    package = error.name.partition(".")[0]
    if package not in OPTIONAL:
        return None
    name, extra = OPTIONAL[package]
    return AsrError(f"{subject} needs {name}, which is not installed: {install_command(extra)}")
