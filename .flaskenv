# What the `flask` command works on: the app without the server around it.
FLASK_APP=app:create_app_for_commands
