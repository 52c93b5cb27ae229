"""The Classes screen."""
