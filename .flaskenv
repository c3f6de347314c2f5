# In this checkout bare `flask run` would take the folder wsgi for the app. (Flask reads this file if python-dotenv is installed.)
FLASK_APP=app
