"""One app for each extension, in one process."""

from flask import Flask

from tests.extensions.streams import dispatch, make_app
from tests.extensions.switches import EXTENSIONS
from tests.extensions.traces import TRACED, report_spans

apps = {}
for name, switch_on in {**EXTENSIONS, **TRACED}.items():
    apps[name] = make_app(name)
    switch_on(apps[name])

control = Flask(__name__)
report_spans(control)
application = dispatch(apps, control)
