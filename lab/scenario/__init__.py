"""Scenarios: from what a person writes to checked, frozen values and chosen targets."""
