"""What a trained model is: configuration, network, device, run folder, prediction."""
