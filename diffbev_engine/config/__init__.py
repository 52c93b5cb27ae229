"""Python-syntax configuration files: parsed, never executed, validated into typed settings."""
