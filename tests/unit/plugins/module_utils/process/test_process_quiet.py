# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.mlops.stack.plugins.module_utils.process.quiet import QuietModule


def test_the_log_says_nothing_of_the_options(monkeypatch):
    lines = []
    monkeypatch.setattr(AnsibleModule, "log", lambda self, msg, log_args=None: lines.append((msg, log_args)))
    module = QuietModule.__new__(QuietModule)
    module.log("Invoked with users=[{'password': 'it\\'s a secret'}]", log_args={"users": "secret"})
    assert lines == [("Invoked; what it is given is not logged.", None)]
