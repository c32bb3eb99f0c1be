# A clip, as the InternVL2 README does it, which SAIL-VL's card follows; edited: the path, where the
# frames come from, `.cuda()` removed, its torchvision helper replaced by ours, `import valley.auto`.
import torch
from transformers import AutoModel, AutoTokenizer
import valley.auto
from valley.sail_vl_chat import load_image

path = "path/to/SAIL-VL"
model = AutoModel.from_pretrained(
    path,
    torch_dtype=torch.bfloat16,
    trust_remote_code=True).eval()
tokenizer = AutoTokenizer.from_pretrained(path, trust_remote_code=True, use_fast=False)
generation_config = dict(max_new_tokens=1024, do_sample=True)

frames = [load_image(f'picture{i}.png', max_num=1) for i in range(8)]
pixel_values = torch.cat(frames).to(torch.bfloat16)
num_patches_list = [frame.size(0) for frame in frames]
video_prefix = ''.join([f'Frame{i+1}: <image>\n' for i in range(len(num_patches_list))])
question = video_prefix + 'What is the red panda doing?'
# Frame1: <image>\nFrame2: <image>\n...\nFrame8: <image>\n{question}
response, history = model.chat(tokenizer, pixel_values, question, generation_config,
                               num_patches_list=num_patches_list, history=None, return_history=True)
print(f'User: {question}\nAssistant: {response}')

question = 'Describe this video in detail. Don\'t repeat.'
response, history = model.chat(tokenizer, pixel_values, question, generation_config,
                               num_patches_list=num_patches_list, history=history, return_history=True)
print(f'User: {question}\nAssistant: {response}')
