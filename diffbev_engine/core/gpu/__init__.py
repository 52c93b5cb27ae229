"""GPUs as their driver reports them."""
