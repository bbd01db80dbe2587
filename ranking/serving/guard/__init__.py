"""Who may ask, how much, how often and in what form: what every HTTP request passes before anything answers it."""
