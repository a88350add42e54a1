#!/bin/bash
# SSL4RL's published settings on verl itself, for a node of eight GPUs or, with NODES, for a Ray cluster of more.
#
#   ssl4rl-bench build ssl_rotation_90 --images mmbench_dev_en --per-image 8 --format verl --out data/rotation
#   bash grpo_3b.sh data/rotation models/ssl4rl-3b-rotation
#
# Further arguments are passed to verl and override those below: trainer.total_training_steps=100. Key names are those
# of verl 0.5, on which the released code is based; the configurations up to 0.9.1 accept them too. The script has not
# been run on GPUs. ssl4rl-bench must be installed where verl's workers run, because the data's reward.py imports it.
#
# SCHEME is the reward scheme (docs/rewards.md): exact, or per_position for Jigsaw. "released" with data of a _released
# task reproduces the released reward exactly. verl repeats the files' samples in each epoch; --per-image is the number
# of different samples per image.
set -euo pipefail
data=${1:?bash grpo_3b.sh DATA OUT [verl arguments]}
out=${2:?bash grpo_3b.sh DATA OUT [verl arguments]}
shift 2
MODEL=${MODEL:-Qwen/Qwen2.5-VL-3B-Instruct}
SCHEME=${SCHEME:-exact}
NODES=${NODES:-1}
train=$data/data.parquet
test=$train
if [ -f "$data/train.parquet" ]; then   # built with --split
    train=$data/train.parquet
    test=$data/test.parquet
fi

arguments=(
    # data: 512 prompts per step; longer prompts are left out, which verl reports only in its log
    data.train_files="$train"
    data.val_files="$test"
    data.image_key=images
    data.train_batch_size=512
    data.max_prompt_length=1024
    data.max_response_length=2048
    data.filter_overlong_prompts=True
    data.truncation=error

    # reward
    custom_reward_function.path="$data/reward.py"
    custom_reward_function.name=compute_score
    +custom_reward_function.reward_kwargs.scheme="$SCHEME"

    # GRPO: 5 replies per prompt; (r - mean) / (std + 1e-6); KL as a term of the loss, not of the reward
    algorithm.adv_estimator=grpo
    algorithm.use_kl_in_reward=False
    actor_rollout_ref.rollout.n=5
    actor_rollout_ref.actor.use_kl_loss=True
    actor_rollout_ref.actor.kl_loss_coef=0.01
    actor_rollout_ref.actor.kl_loss_type=low_var_kl
    actor_rollout_ref.actor.entropy_coeff=0
    actor_rollout_ref.actor.clip_ratio=0.2
    actor_rollout_ref.actor.loss_agg_mode=token-mean

    # 4 updates per step, each of 128 prompts; constant rate, no warm-up
    actor_rollout_ref.actor.ppo_mini_batch_size=128
    actor_rollout_ref.actor.ppo_micro_batch_size_per_gpu=10
    actor_rollout_ref.actor.optim.lr=1e-6
    actor_rollout_ref.actor.optim.weight_decay=0.01
    actor_rollout_ref.actor.grad_clip=1.0

    # model
    actor_rollout_ref.model.path="$MODEL"
    actor_rollout_ref.model.use_remove_padding=True
    actor_rollout_ref.model.enable_gradient_checkpointing=True
    actor_rollout_ref.actor.fsdp_config.param_offload=False
    actor_rollout_ref.actor.fsdp_config.optimizer_offload=False
    actor_rollout_ref.ref.fsdp_config.param_offload=True
    actor_rollout_ref.ref.log_prob_micro_batch_size_per_gpu=20

    # rollouts
    actor_rollout_ref.rollout.name=vllm
    actor_rollout_ref.rollout.temperature=1.0
    actor_rollout_ref.rollout.tensor_model_parallel_size=1
    actor_rollout_ref.rollout.gpu_memory_utilization=0.6
    actor_rollout_ref.rollout.free_cache_engine=True
    actor_rollout_ref.rollout.enforce_eager=False
    actor_rollout_ref.rollout.enable_chunked_prefill=False
    actor_rollout_ref.rollout.log_prob_micro_batch_size_per_gpu=20

    # the card's checkpoint is step 300; the released runs had 20 epochs of their larger data
    trainer.total_training_steps=300
    trainer.total_epochs=1000
    trainer.save_freq=50
    trainer.test_freq=-1
    trainer.val_before_train=False
    trainer.n_gpus_per_node=8
    trainer.nnodes="$NODES"
    trainer.logger='["console", "tensorboard"]'
    trainer.project_name=ssl4rl
    trainer.experiment_name="$(basename "$out")"
    trainer.default_local_dir="$out"
)
exec python3 -m verl.trainer.main_ppo "${arguments[@]}" "$@"
