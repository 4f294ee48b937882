"""The local Hub against the real client."""

from pathlib import Path

import huggingface_hub
import pytest
from hub_server import USER, Hub
from huggingface_hub.errors import (
    EntryNotFoundError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

REPO = "org/thing"
CARD = "---\npipeline_tag: juggling\nlibrary_name: diffusers\ntags:\n- motion\n---\n# Thing\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "a.bin").write_bytes(bytes(range(256)) * 100)
    (tmp_path / "README.md").write_text(CARD)
    return tmp_path


def test_push_and_download_return_the_same_bytes(hub: Hub, folder: Path):
    huggingface_hub.create_repo(REPO)
    commit = huggingface_hub.upload_folder(repo_id=REPO, folder_path=folder)
    local = Path(huggingface_hub.snapshot_download(REPO))
    assert local.name == commit.oid
    for path, data in hub.files(REPO).items():
        assert (local / path).read_bytes() == (folder / path).read_bytes() == data


def test_unchanged_files_make_no_commit(hub: Hub, folder: Path):
    first = hub.put(REPO, folder)
    assert huggingface_hub.upload_folder(repo_id=REPO, folder_path=folder).oid == first
    assert not any("/commit/" in request for request in hub.requests)


def test_info_and_listing(hub: Hub, folder: Path):
    sha = hub.put(REPO, folder)
    info = huggingface_hub.model_info(REPO, files_metadata=True)
    assert (info.sha, info.pipeline_tag, info.library_name) == (sha, "juggling", "diffusers")
    assert {file.rfilename: file.size for file in info.siblings} == {"README.md": len(CARD), "weights/a.bin": 25600}
    assert "motion" in info.tags
    assert [entry.path for entry in huggingface_hub.list_repo_tree(REPO)] == ["README.md", "weights"]
    assert huggingface_hub.HfFileSystem().read_block(f"{REPO}/weights/a.bin", 10, 4) == bytes([10, 11, 12, 13])
    assert huggingface_hub.whoami()["name"] == USER


def test_deletions_and_older_revisions(hub: Hub, folder: Path):
    first = hub.put(REPO, folder)
    huggingface_hub.delete_file("README.md", REPO)
    huggingface_hub.delete_folder("weights", REPO)
    assert hub.files(REPO) == {}
    assert Path(huggingface_hub.hf_hub_download(REPO, "README.md", revision=first)).read_text() == CARD
    huggingface_hub.delete_repo(REPO)
    assert not huggingface_hub.repo_exists(REPO)


def test_client_raises_its_own_errors(hub: Hub, folder: Path):
    hub.put(REPO, folder)
    with pytest.raises(HfHubHTTPError, match="409"):
        huggingface_hub.create_repo(REPO)
    assert huggingface_hub.create_repo(REPO, exist_ok=True).repo_id == REPO
    for lookup in (huggingface_hub.model_info, huggingface_hub.snapshot_download):
        with pytest.raises(RepositoryNotFoundError):
            lookup("org/missing")
        with pytest.raises(RevisionNotFoundError):
            lookup(REPO, revision="missing")
    with pytest.raises(EntryNotFoundError):
        huggingface_hub.hf_hub_download(REPO, "missing")
    with pytest.raises(EntryNotFoundError):
        huggingface_hub.delete_file("missing", REPO)


@pytest.mark.parametrize("way", ["offline", "unplugged"])
def test_out_of_reach_leaves_the_cache(way: str, hub: Hub, folder: Path):
    hub.put(REPO, folder)
    local = huggingface_hub.snapshot_download(REPO)
    hub.put("org/other", folder)
    with getattr(hub, way)():
        assert huggingface_hub.snapshot_download(REPO) == local
        with pytest.raises(LocalEntryNotFoundError):
            huggingface_hub.snapshot_download("org/other")
    assert huggingface_hub.snapshot_download("org/other")


def test_datasets_have_their_own_names_and_reset_forgets_them(hub: Hub):
    huggingface_hub.create_repo("clips", repo_type="dataset")
    huggingface_hub.upload_file(path_or_fileobj=b"1", path_in_repo="one.csv", repo_id=f"{USER}/clips", repo_type="dataset")
    where = f"datasets/{USER}/clips"
    assert huggingface_hub.HfFileSystem().ls(where, detail=False) == [f"{where}/one.csv"]
    hub.reset()
    assert not hub.requests
    hub.put(f"{USER}/clips", {"two.csv": "2"}, repo_type="dataset")
    assert huggingface_hub.HfFileSystem().ls(where, detail=False) == [f"{where}/two.csv"]
