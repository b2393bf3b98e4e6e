"""All that knows LLMs. Imports neither flask, sqlalchemy, models nor blueprints."""
