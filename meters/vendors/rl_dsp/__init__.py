"""RL-DSP CH 2024: JSON over MQTT (docs/wire-rl-dsp.md)."""
