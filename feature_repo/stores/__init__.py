"""Our plug-ins for Feast's stores."""
