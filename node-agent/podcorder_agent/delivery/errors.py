"""What can go wrong with delivery in a way that a person can mend."""

from __future__ import annotations

from podcorder_agent.errors import PodcorderError


class DeliveryError(PodcorderError):
    """Base of delivery's errors."""


class EndpointInvalid(DeliveryError):
    """What was given is no place to deliver to."""

    exit_code = 40


class SettingInvalid(DeliveryError):
    """A variable of the environment cannot be understood."""

    exit_code = 41


class CertificatesUnusable(DeliveryError):
    """TLS files cannot be read."""

    exit_code = 42


class GrpcMissing(DeliveryError):
    """gRPC was asked for and is not installed."""

    exit_code = 43


class FileUnusable(DeliveryError):
    """The output file cannot be written, or holds something else."""

    exit_code = 44


class PrivilegesKept(DeliveryError):
    """Privileges could not be dropped."""

    exit_code = 45


class DrainExpired(DeliveryError):
    """Told to stop, and the receiver did not take what was left in time."""

    exit_code = 46
