"""What public functions share: argument checks, other names of parameters and module members, words of messages."""
