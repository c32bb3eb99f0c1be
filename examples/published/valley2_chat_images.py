# The published README snippet; edited: the path, where pictures come from.
from valley2.valley2_chat import Valley2Chat
from PIL import Image

model = Valley2Chat(
    model_path="path/to/Valley2-DPO",
    padding_side="left",
)

paths = [f"picture{i}.png" for i in range(8)]
imgs = [Image.open(path).convert("RGB") for path in paths]

request = {
    "chat_history": [
        {"role": "system", "content": "You are Valley, developed by ByteDance. Your are a helpfull Assistant."},
        {"role": "user", "content": "Describe the given images."},
    ],
    "images": imgs,
}
result = model(request)
print(f"\n>>> Assistant:\n")
print(result)
