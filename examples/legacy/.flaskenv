# `flask` finds wsgi.py without this, but in a clone python-dotenv would find the .flaskenv of the folders above.
FLASK_APP=wsgi
