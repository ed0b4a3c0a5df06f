"""`avsep fit`: train any model from a YAML of class_path and init_args."""

from __future__ import annotations


def run(arguments: list[str]) -> None:
    """arguments: those of LightningCLI's fit, e.g. ["--config", "configs/audio_2spk.yaml"]."""
    import lightning
    from lightning.pytorch.cli import LightningCLI

    LightningCLI(
        lightning.LightningModule,
        lightning.LightningDataModule,
        subclass_mode_model=True,
        subclass_mode_data=True,
        save_config_kwargs={"overwrite": True},
        args=["fit", *arguments],
    )


if __name__ == "__main__":
    import sys

    run(sys.argv[1:])
