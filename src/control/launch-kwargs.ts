// Arguments of a launch that load code or read files of this machine (D8): they pass as clients of the old service expect, are
// logged, and are refused where only safe ones are allowed. What the daemon sets itself the fleet refuses. Pure.
import { Refusal } from '../core/errors.ts'

/** Load code, read or write files, or talk to other machines. Names of vLLM's engine and server arguments. */
const risky = new Set(
  `trust_remote_code download_dir middleware tool_parser_plugin reasoning_parser_plugin io_processor_plugin
  logits_processors worker_cls worker_extension_cls scheduler_cls distributed_executor_backend stat_loggers
  allowed_local_media_path allowed_media_domains chat_template tokenizer hf_config_path generation_config lora_modules
  prompt_adapters speculative_config model_loader_extra_config quantization_param_path kv_transfer_config
  ec_transfer_config additional_config compilation_config profiler_config log_config_file otlp_traces_endpoint
  ssl_cert_reqs allowed_origins code_revision hf_token hf_overrides override_neuron_config tensorizer_config
  weight_transfer_config logging_config_path qlora_adapter_name_or_path model_impl load_format`.split(/\s+/),
)

/** What a model needs to run, and nothing that names code, a file or a host. */
const safe = new Set(
  `max_model_len max_num_seqs max_num_batched_tokens max_num_partial_prefills max_long_partial_prefills
  long_prefill_token_threshold max_seq_len_to_capture max_logprobs max_loras max_lora_rank enable_lora
  fully_sharded_loras dtype kv_cache_dtype quantization seed gpu_memory_utilization kv_cache_memory_bytes swap_space
  cpu_offload_gb block_size num_gpu_blocks_override enforce_eager enable_prefix_caching prefix_caching_hash_algo
  enable_chunked_prefill tensor_parallel_size pipeline_parallel_size data_parallel_size decode_context_parallel_size
  enable_expert_parallel disable_custom_all_reduce disable_sliding_window disable_cascade_attn scheduling_policy
  async_scheduling num_scheduler_steps multi_step_stream_outputs preemption_mode stream_interval
  limit_mm_per_prompt mm_processor_cache_gb disable_mm_preprocessor_cache skip_mm_profiling language_model_only
  enable_auto_tool_choice tool_call_parser reasoning_parser enable_reasoning guided_decoding_backend
  structured_outputs_config guided_decoding_disable_fallback guided_decoding_disable_additional_properties
  model task runner convert pooler_config override_pooler_config revision tokenizer_revision tokenizer_mode
  skip_tokenizer_init config_format rope_scaling rope_theta calculate_kv_scales use_v2_block_manager
  disable_log_stats disable_log_requests enable_log_requests enable_server_load_tracking return_tokens_as_token_ids
  response_role chat_template_content_format override_generation_config optimization_level attention_backend`.split(
    /\s+/,
  ),
)

/** @returns the names that should be logged @throws Refusal 400 for those that are not known to be safe, where only such are allowed */
export function checkKwargs(kwargs: Readonly<Record<string, unknown>>, safeOnly: boolean): string[] {
  const keys = Object.keys(kwargs)
  const unsafe = keys.filter((key) => !safe.has(toName(key)))
  if (safeOnly && unsafe.length > 0)
    throw new Refusal(
      'launch-argument-unsafe',
      400,
      `extra_kwargs has ${unsafe.join(', ')}: not known to load no code and to read no files of this machine, and nothing else is allowed here (CONTROL_SAFE_KWARGS_ONLY)`,
    )
  return keys.filter((key) => risky.has(toName(key)))
}

/** `Trust-Remote-Code` is the same option, and `hf_overrides.a` a part of one. */
const toName = (key: string) => (key.split('.')[0] ?? '').replaceAll('-', '_').toLowerCase()
