"""Makes the checks of the group "resuming"."""

from flask_sluice.doctor.report import CheckMaker

make = CheckMaker("resuming")
