"""Makes deprecation warnings of our own modules errors in every Python program that has this folder in its PYTHONPATH.

``make test-warnings`` sets that for the servers and commands that tests start. -W and PYTHONWARNINGS cannot: they name one module, not a
package with what is in it.
"""

import warnings

warnings.filterwarnings("error", category=DeprecationWarning, module="flask_sluice")
