"""Which of jupyter_server's tests do not hold for this hub, and why.

`FILES` are those of its test files that speak to a server at an address. `EXPECTED` names tests in them that must fail,
by ``file::test`` or ``file::test[parameter]``: one that passes fails the run, so that the table stays true.
`LEFT_OUT` are tests that would only wait for a server configured otherwise. All other files try its classes and its
command line, of which the hub has none.
"""

from __future__ import annotations

VERSION = "2.21.1"
"""Of the package whose tests are run; ``tests/prepare.sh`` brings its source."""

FILES = [
    "services/api/test_api.py",
    "services/config/test_api.py",
    "services/contents/test_api.py",
    "services/contents/test_manager_no_hash.py",
    "services/events/test_api.py",
    "services/kernels/test_api.py",
    "services/kernels/test_execution_state.py",
    "services/kernels/test_restart_error.py",
    "services/kernelspecs/test_api.py",
    "services/nbconvert/test_api.py",
    "services/sessions/test_api.py",
    "nbconvert/test_handlers.py",
    "test_files.py",
    "test_paths.py",
    "test_terminal.py",
    "test_view.py",
]

_PATCHES_THE_SERVER = "changes an object inside the server's process while it runs, which an address cannot offer"
_OTHER_IDENTITY = "replaces the server's identity provider; who is who is the hub's"
_OTHER_POLICY = "asks for Jupyter's own Content-Security-Policy; the hub's is stricter"
_NO_SCHEMAS = "the hub passes events on to the user's own tabs without knowing their schemas"
_COUNTED_BY_REPORT = "connections are counted by the proxy's reports, a moment after the socket has opened"
_OTHER_CONFIGURATION = "starts the server with another configuration"
_EXACT_NAMES = "names of kernelspecs are matched exactly, not without regard to case"
_KERNELS_ARE_NOT_ASKED = "the hub looks a path up in the home and does not ask the kernel for its folder"

EXPECTED = {
    "services/api/test_api.py::test_identity": _OTHER_IDENTITY,
    "services/api/test_api.py::test_identity_permissions": _OTHER_IDENTITY,
    "services/api/test_api.py::test_password_identity_permissions": _OTHER_IDENTITY,
    "services/api/test_api.py::test_update_user_not_implemented_update": _OTHER_IDENTITY,
    "services/api/test_api.py::test_update_user_not_implemented_persist": _OTHER_IDENTITY,
    "services/api/test_api.py::test_update_user_success": _OTHER_IDENTITY,
    "services/api/test_api.py::test_update_user_raise": _OTHER_IDENTITY,
    "services/api/test_api.py::test_update_user_success_custom_updatable_fields": _OTHER_IDENTITY,
    "services/contents/test_api.py::test_upload_txt_hidden": "expects a `path` in the body to be looked at; the hub "
    "writes where the address says and ignores it",
    "services/contents/test_api.py::test_copy_dir": "copies into a folder that is not there, which here names the copy",
    "services/contents/test_api.py::test_copy_400_hidden": "the hub answers 404 for a hidden source, as for none",
    "services/contents/test_api.py::test_regression_is_hidden": _PATCHES_THE_SERVER,
    "services/contents/test_manager_no_hash.py::test_manager_no_hash_support": "the hub's files have hashes",
    "services/events/test_api.py::test_subscribe_websocket": _PATCHES_THE_SERVER,
    "services/events/test_api.py::test_subscribe_websocket_self_removes_on_closed_socket": _PATCHES_THE_SERVER,
    "services/events/test_api.py::test_post_event": "reads the event from the server's own log",
    "services/events/test_api.py::test_post_event_400[payload3]": _NO_SCHEMAS,
    "services/events/test_api.py::test_post_event_400[payload4]": _NO_SCHEMAS,
    "services/events/test_api.py::test_post_event_400[payload5]": _NO_SCHEMAS,
    "services/events/test_api.py::test_post_event_400[payload6]": _NO_SCHEMAS,
    "services/kernels/test_api.py::test_default_kernels": _OTHER_POLICY,
    "services/kernels/test_api.py::test_main_kernel_handler": _OTHER_POLICY,
    "services/kernels/test_api.py::test_resolve_path_kernel": _KERNELS_ARE_NOT_ASKED,
    "services/kernels/test_api.py::test_resolve_path_server_and_kernel": _KERNELS_ARE_NOT_ASKED,
    "services/kernels/test_api.py::test_connection": _COUNTED_BY_REPORT,
    "services/kernels/test_restart_error.py::test_restart_failure_returns_500_json": _PATCHES_THE_SERVER,
    "services/kernelspecs/test_api.py::test_get_kernelspecs": _EXACT_NAMES,
    "services/kernelspecs/test_api.py::test_get_kernel_resource_file": _EXACT_NAMES,
    "services/sessions/test_api.py::test_create": _PATCHES_THE_SERVER,
    "services/sessions/test_api.py::test_create_bad": _PATCHES_THE_SERVER,
    "services/sessions/test_api.py::test_create_deprecated": "names a kernel by an id that is no UUID",
    "services/sessions/test_api.py::test_create_session_duplicate_kernel_id_returns_409": _PATCHES_THE_SERVER,
    "services/sessions/test_api.py::test_restart_kernel": _COUNTED_BY_REPORT,
    "nbconvert/test_handlers.py::test_from_file_zip_to_latex": "the hub does not offer LaTeX's source as an archive",
    "nbconvert/test_handlers.py::test_from_post_zip": "the hub does not offer LaTeX's source as an archive",
    "nbconvert/test_handlers.py::test_csp_file_handler[jp_server_config1-None]": _OTHER_CONFIGURATION,
    "nbconvert/test_handlers.py::test_csp_post_handler[jp_server_config1-None]": _OTHER_CONFIGURATION,
    "test_files.py::test_hidden_files": _PATCHES_THE_SERVER,
    "test_files.py::test_regression_is_hidden": _PATCHES_THE_SERVER,
    "test_files.py::test_save_hooks": _PATCHES_THE_SERVER,
    "test_paths.py::test_trailing_slash": "the hub does not redirect addresses that end in a slash and lead nowhere",
    "test_terminal.py::test_terminal_create_with_cwd": "asks for a folder outside the home; it opens in the home",
    "test_terminal.py::test_culling_config": _OTHER_CONFIGURATION,
    "test_terminal.py::test_shell_command_override": _OTHER_CONFIGURATION,
    "test_view.py::test_view[True-exists.html]": "wants UTF-8 in capitals in the Content-Type",
    "test_view.py::test_view[True-exists.bin]": "wants UTF-8 in capitals in the Content-Type",
}

LEFT_OUT = {
    "test_terminal.py::test_culling": "waits for idle terminals to end after 10 s; the hub's end with their container",
}
