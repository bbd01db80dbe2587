"""Who and what features describe."""

from typing import Final

from feast import Entity, ValueType

from feature_repo import schema

USER: Final = Entity(
    name="user", join_keys=[schema.USER_ID], value_type=ValueType.STRING, description="Who is recommended to."
)
ITEM: Final = Entity(
    name="item", join_keys=[schema.ITEM_ID], value_type=ValueType.STRING, description="What is recommended."
)
