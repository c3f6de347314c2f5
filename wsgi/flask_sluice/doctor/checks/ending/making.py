"""Makes the checks of the group "end"."""

from flask_sluice.doctor.report import CheckMaker

make = CheckMaker("end")
