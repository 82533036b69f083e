"""Upload of a folder to the Hugging Face Hub."""

from pathlib import Path

from huggingface_hub import HfApi
from huggingface_hub.errors import HfHubHTTPError, HTTPError  # type: ignore  # the latter of the package that it uses

from nounroll.hub.folder import FILES
from nounroll.models.student import CONFIG, WEIGHTS


def push_to_hub(folder: str | Path, repo_id: str, *, private: bool | None = None, token: str | None = None) -> str:
    """Upload a folder of ``nounroll.hub.save_pretrained`` or ``Student.save_pretrained`` in one commit.

    Other files of the folder are not uploaded. Files with the same names on the Hub are replaced or removed; others
    stay.

    Args:
        folder: the local folder.
        repo_id: OWNER/NAME; the repository is created if it does not exist.
        private: visibility of a new repository; the owner's default if None.
        token: access token; that of ``hf auth login`` if None.

    Returns:
        The address of the repository.

    Raises:
        ValueError: the folder holds no student, the name is invalid, or the Hub refused (e.g. the token may not write).
        OSError: the Hub could not be reached, or failed.
    """
    folder = Path(folder)
    if not (folder / CONFIG).is_file() or not (folder / WEIGHTS).is_file():
        raise ValueError(f"{folder} holds no student; it needs {CONFIG} and {WEIGHTS}")
    api = HfApi(token=token)
    try:
        address = api.create_repo(repo_id, private=private, exist_ok=True)
        api.upload_folder(
            repo_id=address.repo_id,
            folder_path=folder,
            commit_message="Upload a student of nounroll",
            allow_patterns=list(FILES),
            delete_patterns=list(FILES),
        )
    except (HTTPError, ConnectionError) as error:
        said = f"{repo_id} was not pushed: {' '.join(str(error).split())}"
        if isinstance(error, HfHubHTTPError) and error.response.status_code < 500:
            raise ValueError(said) from error
        raise OSError(said) from error
    return str(address)
