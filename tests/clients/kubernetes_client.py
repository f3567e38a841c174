"""The Kubernetes manifest against the schemas of the API, and its configuration against the program."""

import os
import pathlib
import subprocess
import tempfile
import unittest

import kubernetes_validate
import yaml

from penstock import PROGRAM

MANIFEST = pathlib.Path(__file__).parents[2] / "config/kubernetes/penstock.yaml"


def objects():
    return list(yaml.safe_load_all(MANIFEST.read_text()))


class Kubernetes(unittest.TestCase):
    def test_the_manifest_keeps_to_the_schemas(self):
        for version in ["1.30", "1.34"]:
            for item in objects():
                with self.subTest(version=version, kind=item["kind"]):
                    kubernetes_validate.validate(item, version, strict=True)

    def test_its_configuration_is_right(self):
        [config] = [item for item in objects() if item["kind"] == "ConfigMap"]
        with tempfile.TemporaryDirectory() as folder:
            file = pathlib.Path(folder) / "penstock.toml"
            file.write_text(config["data"]["penstock.toml"])
            told = subprocess.run(
                [PROGRAM, "check", file],
                env={**os.environ, "PENSTOCK_ADMIN_SHA256": "71" * 32},
                capture_output=True,
                text=True,
            )
            self.assertEqual(told.returncode, 0, told.stderr)

    def test_what_is_mounted_is_there(self):
        [pod] = [item["spec"]["template"]["spec"] for item in objects() if item["kind"] == "Deployment"]
        volumes = {volume["name"] for volume in pod["volumes"]}
        for container in pod["initContainers"] + pod["containers"]:
            self.assertLessEqual({mount["name"] for mount in container["volumeMounts"]}, volumes)
        [service] = [item["spec"] for item in objects() if item["kind"] == "Service"]
        ports = {port["name"] for container in pod["containers"] for port in container["ports"]}
        self.assertEqual({port["targetPort"] for port in service["ports"]}, ports)


if __name__ == "__main__":
    unittest.main()
