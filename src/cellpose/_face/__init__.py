"""What public functions share: checks of what is given, other names of parameters and of modules' contents."""
