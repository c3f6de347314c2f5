"""Makes the checks of the group "framing"."""

from flask_sluice.doctor.report import CheckMaker

make = CheckMaker("framing")
