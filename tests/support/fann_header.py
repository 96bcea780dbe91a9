"""The lines of FANN_FLO_2.1 that training leaves in a file and that do not change what a network computes."""


def fann_header(sizes, connection_rate=1.0, network_type=0):
    """From the magic to scale_included, which the caller appends. sizes: neurons of each layer, bias included."""
    return ["FANN_FLO_2.1", f"num_layers={len(sizes)}", "learning_rate=0.700000",
            f"connection_rate={connection_rate:.6f}", f"network_type={network_type}", "learning_momentum=0.000000",
            "training_algorithm=2", "train_error_function=1", "train_stop_function=0",
            "cascade_output_change_fraction=0.010000", "quickprop_decay=-0.000100", "quickprop_mu=1.750000",
            "rprop_increase_factor=1.200000", "rprop_decrease_factor=0.500000", "rprop_delta_min=0.000000",
            "rprop_delta_max=50.000000", "rprop_delta_zero=0.100000", "cascade_output_stagnation_epochs=12",
            "cascade_candidate_change_fraction=0.010000", "cascade_candidate_stagnation_epochs=12",
            "cascade_max_out_epochs=150", "cascade_min_out_epochs=50", "cascade_max_cand_epochs=150",
            "cascade_min_cand_epochs=50", "cascade_num_candidate_groups=2", f"bit_fail_limit={0.35:.20e}",
            f"cascade_candidate_limit={1000:.20e}", f"cascade_weight_multiplier={0.4:.20e}",
            "cascade_activation_functions_count=10", "cascade_activation_functions=3 5 7 8 10 11 14 15 16 17 ",
            "cascade_activation_steepnesses_count=4",
            "cascade_activation_steepnesses=" + "".join(f"{steepness:.20e} " for steepness in (0.25, 0.5, 0.75, 1)),
            "layer_sizes=" + "".join(f"{size} " for size in sizes)]
