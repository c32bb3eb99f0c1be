# The published README snippet; edited: the path, where pictures come from.
from valley2.valley2_chat import Valley2Chat
import numpy as np
from valley.media import open_video

model = Valley2Chat(
    model_path="path/to/Valley2-DPO",
    padding_side="left",
)

video = open_video(
    "video.mp4", lambda times, size: np.linspace(0, len(times) - 1, 8).astype(np.int_)
)
imgs = list(video.frames)

request = {
    "chat_history": [
        {"role": "system", "content": "You are Valley, developed by ByteDance. Your are a helpfull Assistant."},
        {"role": "user", "content": "Describe the given video."},
    ],
    "images": imgs,
}
result = model(request)
print(f"\n>>> Assistant:\n")
print(result)
