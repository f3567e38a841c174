//! Paths of inference servers that are for those who operate them.

/// What servers of models have for those who operate them.
pub const OPERATOR_PATHS: [&str; 47] = [
    // vLLM.
    "/sleep",
    "/wake_up",
    "/is_sleeping",
    "/pause",
    "/resume",
    "/is_paused",
    "/collective_rpc",
    "/reset_prefix_cache",
    "/reset_mm_cache",
    "/reset_encoder_cache",
    "/scale_elastic_ep",
    "/is_scaling_elastic_ep",
    "/init_weight_transfer_engine",
    "/update_weights",
    "/get_world_size",
    "/server_info",
    "/start_profile",
    "/stop_profile",
    "/v1/load_lora_adapter",
    "/v1/unload_lora_adapter",
    // SGLang.
    "/get_server_info",
    "/flush_cache",
    "/load_lora_adapter",
    "/unload_lora_adapter",
    "/update_weights_from_disk",
    "/update_weights_from_tensor",
    "/update_weights_from_distributed",
    "/update_weights_from_ipc",
    "/init_weights_update_group",
    "/destroy_weights_update_group",
    "/init_weights_send_group_for_remote_instance",
    "/send_weights_to_remote_instance",
    "/update_weight_version",
    "/get_weights_by_name",
    "/release_memory_occupation",
    "/resume_memory_occupation",
    "/pause_generation",
    "/continue_generation",
    "/abort_request",
    "/slow_down",
    "/configure_logging",
    "/set_internal_state",
    "/clear_hicache_storage_backend",
    // llama.cpp.
    "/props",
    "/lora-adapters",
    "/models/load",
    "/models/unload",
];

/// The same, with all that is below them: llama.cpp's for each slot, SGLang's for what a cache is kept in.
pub const OPERATOR_PATHS_BELOW: [&str; 2] = ["/slots", "/hicache/storage-backend"];
