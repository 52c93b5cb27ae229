"""What the screens show, without a screen: pure, tested without the UI."""
