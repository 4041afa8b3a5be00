from ansible.module_utils.basic import AnsibleModule
m = AnsibleModule({"targets": {"type": "list"}, "apt_sources": {"type": "bool"}, "ca_bundle": {}, "timeout": {"type": "int"}}, supports_check_mode=True)
m.exit_json(results=[])
