# 数据根目录：含 img_dir、ann_bev_dir、calib.json、index.jsonl（区分大小写）
# 相对路径以运行命令时所在的目录为准
# Directory with img_dir, ann_bev_dir, calib.json and index.jsonl (case-sensitive);
# a relative path starts at the current directory of the command
data_root = "data/nuScenes"

data = dict(
    # 每块 GPU 的批大小；显存不足时调小 / batch size per GPU; lower it if out of GPU memory
    samples_per_gpu=4,
    # 每块 GPU 的数据加载进程数 / loader processes per GPU
    workers_per_gpu=4,
    # 网络输入大小（高, 宽），内参随之缩放 / input size (height, width); intrinsics follow
    image_size=(600, 800),
    # 'front'：只用前视相机；'all'：所有已准备的相机 / 'front': front camera; 'all': every prepared camera
    cameras="all",
    # 训练忽略掩码：'pon' 去掉激光雷达看不到的单元；'fov' 只去掉视野外的单元
    # ignore mask of training: 'pon' drops cells hidden from LiDAR too; 'fov' only those outside the FOV
    mask="pon",
    # 训练时随机改变亮度、对比度、饱和度、色调 / random brightness, contrast, saturation and hue
    photometric=True,
    # 是否加载激光雷达深度真值（DiffBEV 需要）/ load LiDAR depth ground truth (DiffBEV needs it)
    load_depth=False,
    # 缩放后的图像存放的目录（快速磁盘，600x800 每张 1.4 MB）；None：每次都解码
    # folder on a fast disk for resized images (1.4 MB each at 600x800); None: they are decoded every time
    frame_cache=None,
)
