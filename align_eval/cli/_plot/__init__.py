"""The figures of ``align-eval plot``: each module here has ``add_to(plot_app)``, which registers one subcommand."""
