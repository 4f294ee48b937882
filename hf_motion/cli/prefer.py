"""`hf-motion prefer build`, `mcdpo`, `certain` and `accuracy`."""

from __future__ import annotations

import json
from collections import Counter
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .app import app, going_on_later, user_errors
from .generate import Device, Model

if TYPE_CHECKING:
    from ..rewards import Reward
    from ..rewards.chat import Chat

prefer_app = typer.Typer(help="Preference data: make it, and compare rewards with it.", no_args_is_help=True)
app.add_typer(prefer_app, name="prefer")


class RewardName(StrEnum):
    """Rewards."""

    verifier = "verifier"
    contrastive = "contrastive"
    tmr = "tmr"
    vision = "vision"


class Scale(StrEnum):
    """What verifiers give."""

    criteria = "criteria"
    share = "share"


class Form(StrEnum):
    """How motions are shown to a vision-language model."""

    full = "full"
    trajectory = "trajectory"
    frames = "frames"


class PairRule(StrEnum):
    """Which motions of a prompt become pairs."""

    best = "best"
    all = "all"


class Normalize(StrEnum):
    """How distances are made comparable."""

    sum = "sum"
    softmax = "softmax"


def _judge(text: str, *names: str, **options: Any) -> Any:
    return typer.Option(*names, help=text, rich_help_panel="Vision-language judge (nothing is sent without --base-url)", **options)


RewardModel = Annotated[str | None, typer.Option(help="Folder or repository of the reward's T2MEvaluator or TMR; a small one by default.")]
ScaleOption = Annotated[Scale, typer.Option(help="Verifiers: ratings by the task's criteria, or the share that is right.")]
BaseUrl = Annotated[str | None, _judge("Address of a server that speaks the OpenAI protocol, such as http://127.0.0.1:8000/v1.")]
JudgeModel = Annotated[str | None, _judge("Name of the model there; without --base-url a folder or repository to run here.")]
ApiKey = Annotated[str | None, _judge("Key of that server.", envvar="HF_MOTION_API_KEY", show_envvar=True)]
FormOption = Annotated[Form, _judge("How motions are shown: one picture, one trajectory, or frame by frame.")]
Frames = Annotated[int, _judge("Poses that are shown.", min=1, max=64)]
Workers = Annotated[int, _judge("Requests at a time.", min=1)]
Timeout = Annotated[float, _judge("Seconds to wait for an answer.")]


@prefer_app.command()
def build(
    output: Annotated[str, typer.Option("--output", "-o", help="Folder of the data set; run again to go on where it stopped.")],
    model: Model = None,
    integrity: Annotated[int, typer.Option(min=0, help="Prompts of 2 to 5 events, in the paper's shares 250:1500:500:250.")] = 0,
    temporal: Annotated[int, typer.Option(min=0, help="Prompts of 3 events in order.")] = 0,
    frequency: Annotated[int, typer.Option(min=0, help="Prompts of one event, 1 to 5 times.")] = 0,
    motions_per_prompt: Annotated[int, typer.Option(min=2, help="Motions of each prompt.")] = 6,
    reward: Annotated[RewardName, typer.Option(help="What scores the motions.")] = RewardName.verifier,
    reward_model: RewardModel = None,
    scale: ScaleOption = Scale.criteria,
    min_gap: Annotated[float, typer.Option(min=0, help="Least difference of the scores of a pair.")] = 1.0,
    pairs: Annotated[PairRule, typer.Option(help="best: best against worst of a prompt; all: every two.")] = PairRule.best,
    images: Annotated[Form | None, typer.Option(help="Keep pictures of the motions in the data set, in this form.")] = None,
    option: Annotated[list[str] | None, typer.Option(help="Option of the generator, NAME=VALUE: guidance_scale=2.5.")] = None,
    seed: Annotated[int, typer.Option(help="All chance comes from it.")] = 0,
    device: Device = None,
    base_url: BaseUrl = None,
    judge_model: JudgeModel = None,
    prompt_model: Annotated[str | None, _judge("Let this model at --base-url word the prompts, in place of our templates.")] = None,
    api_key: ApiKey = None,
    form: FormOption = Form.full,
    frames: Frames = 12,
    workers: Workers = 4,
    timeout: Timeout = 60.0,
    price: Annotated[tuple[float, float], _judge("Price of a million tokens read and written, for the report.")] = (0.0, 0.0),
) -> None:
    """Make prompts, several motions of each, score them and pair better with worse ones (AToM's MotionPrefer)."""
    with user_errors():
        tasks = {"integrity": integrity, "temporal": temporal, "frequency": frequency}
        if not any(tasks.values()):
            raise ValueError("Say how many prompts: --integrity, --temporal, --frequency.")
        if prompt_model is not None and base_url is None:
            raise ValueError("--prompt-model needs --base-url, the address of the server that has it.")
        _check_judge(reward, judge_model)

        from ..preferences.building import BuildRequest
        from ..preferences.building import build as run
        from ..utils.options import parse_assignments

        judged = _reward(reward, reward_model, scale, device, base_url, judge_model, api_key, form, frames, workers, timeout)
        writer = None
        if prompt_model is not None and base_url is not None:
            writer = _client(base_url, prompt_model, api_key, timeout, temperature=1.0, seed=seed)
        request = BuildRequest(
            output=output, tasks=tasks, model=model, motions_per_prompt=motions_per_prompt, min_gap=min_gap, pairs=pairs.value, seed=seed,
            options=parse_assignments(option or [], "--option"), images=images and images.value, prompt_chat=writer, price=price,
            device=device,
        )  # fmt: skip
        with going_on_later():
            record = run(request, judged)
    typer.echo(f"{record['pairs']} pairs of {record['motions']} motions of {sum(record['prompts'].values())} prompts")
    for title, counts in (("Prompts without a pair", record["prompts_without_pair"]), ("Judge", record["cost"])):
        if counts:
            typer.echo(f"{title}: {json.dumps(counts)}")
    if record["unjudged"]:
        typer.secho(f"{record['unjudged']} motions have no score and are in no pair; run again to ask for them once more.", err=True)
    typer.echo(output)


@prefer_app.command()
def mcdpo(
    dataset: Annotated[str, typer.Argument(help="Captioned motion: parquet file, folder of them, or data set on the Hub.")],
    output: Annotated[str, typer.Option("--output", "-o", help="Folder of the pairs; run again to go on where it stopped.")],
    model: Annotated[str, typer.Option(help="Folder or Hub repository of a motion language model that sees videos.")],
    retrieved: Annotated[str, typer.Option(help="Videos that the captions have found: hf-motion video retrieve.")],
    split: Annotated[str, typer.Option(help="Split of the captioned motion.")] = "train",
    share: Annotated[float, typer.Option(help="Share of the captions that are used.")] = 0.25,
    samples: Annotated[int, typer.Option(min=2, help="Motions of each caption.")] = 3,
    motion_weight: Annotated[float, typer.Option(help="Weight of the distance to the real motion.")] = 0.9,
    text_weight: Annotated[float, typer.Option(help="Weight of the distance to the caption.")] = 0.1,
    normalize: Annotated[Normalize, typer.Option(help="sum: as in the paper; softmax: as in the published code.")] = Normalize.sum,
    evaluator: Annotated[str | None, typer.Option(help="Model whose embeddings are compared; a small T2MEvaluator by default.")] = None,
    option: Annotated[
        list[str] | None, typer.Option(help="Option of the model, NAME=VALUE: temperature=0.9, which is the default.")
    ] = None,
    seed: Annotated[int, typer.Option(help="All chance comes from it.")] = 0,
    device: Device = None,
) -> None:
    """Pair a model's better and worse motions of a caption and its video (VimoRAG's McDPO, equation 4)."""
    with user_errors():
        from ..preferences.dual_alignment import DualAlignmentRequest, build_dual_alignment
        from ..utils.options import parse_assignments

        request = DualAlignmentRequest(
            output=output, model=model, dataset=dataset, retrieved=retrieved, split=split, share=share, samples=samples,
            motion_weight=motion_weight, text_weight=text_weight, normalize=normalize.value, evaluator=evaluator,
            options=parse_assignments(option or [], "--option"), seed=seed, device=device,
        )  # fmt: skip
        with going_on_later():
            record = build_dual_alignment(request)
    typer.echo(f"{record['pairs']} pairs, left out: {record['left_out'] or 'none'}")
    typer.echo(output)


@prefer_app.command()
def certain(
    dataset: Annotated[str, typer.Argument(help="Captioned motion: parquet file, folder of them, or data set on the Hub.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the pairs.")],
    count: Annotated[int, typer.Option(min=1, help="How many pairs, as many of each kind.")] = 400,
    split: Annotated[list[str] | None, typer.Option(help="Splits of the data set, repeatable; all of it by default.")] = None,
    actions: Annotated[Path | None, typer.Option(help="YAML that says which captions mean which action; ours by default.")] = None,
    min_clips: Annotated[int, typer.Option(min=1, help="Leave out actions with fewer clips.")] = 5,
    seed: Annotated[int, typer.Option(help="All chance comes from it.")] = 0,
) -> None:
    """Make pairs whose better one is certain: real clips in the right and in a wrong order, one missing, counted wrong, or broken."""
    from ..data.motion_text import load_motion_rows
    from ..preferences.certain import certain_pairs, find_actions, summary
    from ..preferences.dataset import write_card
    from ..preferences.pairs import save_pairs

    with user_errors():
        rows = (row for one in (split or (None,)) for row in load_motion_rows(dataset, one))
        found = find_actions(rows, min_clips=min_clips, **({} if actions is None else {"file": actions}))
        pairs = certain_pairs(found, count, seed)
        save_pairs(pairs, output / "pairs" / "train.parquet")
        kinds = Counter(pair.kind for pair in pairs)
        write_card(output, {"pairs": len(pairs), "source": Path(dataset).name, "splits": split, "kinds": kinds, "seed": seed})
    typer.echo(f"{summary(pairs)}, of {sum(len(one.clips) for one in found)} clips of {len(found)} actions")
    typer.echo(output)


@prefer_app.command()
def accuracy(
    pairs: Annotated[str, typer.Argument(help="Pairs of this command's sisters, or a folder in InstructMotion's layout.")],
    reward: Annotated[list[RewardName] | None, typer.Option(help="Rewards to compare, repeatable; verifier by default.")] = None,
    reward_model: RewardModel = None,
    scale: ScaleOption = Scale.criteria,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="JSON file for the numbers.")] = None,
    device: Device = None,
    base_url: BaseUrl = None,
    judge_model: JudgeModel = None,
    api_key: ApiKey = None,
    form: FormOption = Form.full,
    frames: Frames = 12,
    workers: Workers = 4,
    timeout: Timeout = 60.0,
    pairwise: Annotated[bool, _judge("Ask which motion is better, as the paper does, rather than rate each by itself.")] = False,
) -> None:
    """Say how often rewards prefer the better motion of each pair.

    On InstructMotion's 2216 human pairs, AToM (Table 1) publishes 69.77 % for GPT-4V, which was shown both motions (--pairwise), and
    66.11 % for the contrastive evaluator. Skipped and unsure pairs are left out; ties and pairs without a score count as not aligned.
    """
    with user_errors():
        skipped: Counter[str] = Counter()
        names = list(dict.fromkeys(reward or [RewardName.verifier]))
        if pairwise and names != [RewardName.vision]:
            raise ValueError("--pairwise is for --reward vision alone.")
        if reward_model is not None and len({*names} & {RewardName.contrastive, RewardName.tmr}) != 1:
            raise ValueError("--reward-model is for one of --reward contrastive and --reward tmr.")
        for one in names:
            _check_judge(one, judge_model)

        from ..preferences.agreement import accuracy as compare
        from ..preferences.agreement import pairwise_accuracy, table
        from ..preferences.pairs import load_pairs
        from ..utils.files import write_json

        judged = (base_url, judge_model, api_key, form, frames, workers, timeout)
        rewards = [_reward(one, reward_model, scale, device, *judged) for one in names]
        loaded = load_pairs(pairs, skipped=skipped)
        count = pairwise_accuracy if pairwise else compare
        results = {one.name: count(loaded, one, show_progress=True) for one in rewards}
        if output is not None:
            write_json(output, {name: result.to_dict() for name, result in results.items()} | {"left_out": dict(skipped)})
    typer.echo(table(results))
    if skipped:
        typer.echo("Left out: " + ", ".join(f"{number} {reason}" for reason, number in skipped.items()))


def _reward(
    name: RewardName, model: str | None, scale: Scale, device: str | None, base_url: str | None, judge_model: str | None,
    api_key: str | None, form: Form, frames: int, workers: int, timeout: float,
) -> Reward:  # fmt: skip
    from ..rewards import ContrastiveReward, TMRReward, VerifierReward, VisionJudge
    from ..utils.device import choose_device

    if name is RewardName.verifier:
        return VerifierReward(scale.value)
    if name is not RewardName.vision or judge_model is None:
        kind = ContrastiveReward if name is RewardName.contrastive else TMRReward
        return kind.from_pretrained(model, choose_device(device))
    if base_url is not None:
        return VisionJudge(_client(base_url, judge_model, api_key, timeout), form=form.value, frames=frames, workers=workers)
    from ..rewards import LocalChat

    return VisionJudge(LocalChat(judge_model, device), form=form.value, frames=frames)


def _check_judge(reward: RewardName, judge_model: str | None) -> None:
    if reward is RewardName.vision and judge_model is None:
        raise ValueError("--reward vision needs --judge-model: the name of a model at --base-url, or a folder or repository to run here.")


def _client(base_url: str, model: str, api_key: str | None, timeout: float, **options: Any) -> Chat:
    from ..rewards import ChatClient

    return ChatClient(base_url, model, api_key, timeout=timeout, **options)
