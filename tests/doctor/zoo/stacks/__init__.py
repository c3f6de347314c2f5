"""All stacks of the zoo, by a sentence that says what each does."""

from tests.doctor.zoo.stack import Stack
from tests.doctor.zoo.stacks import (
    buffered,
    cut,
    ended,
    framed,
    headed,
    left,
    loaded,
    resumed,
    silent,
    sound,
    unexaminable,
)

_GROUPS = (
    *(buffered, cut, ended, framed, headed, left),
    *(loaded, resumed, silent, sound, unexaminable),
)
STACKS: dict[str, Stack] = {
    sentence: stack for module in _GROUPS for sentence, stack in module.STACKS.items()
}
assert len(STACKS) == sum(len(module.STACKS) for module in _GROUPS), "two stacks have one sentence"
