"""What public functions share: argument checks, and alternative names of parameters and of module members."""
