"""What public functions share: argument checks, and other names of parameters and module members."""
